package auth

// Len is how many keys are remembered.
func (k *SigningKeys) Len() int {
	k.mu.RLock()
	defer k.mu.RUnlock()
	return len(k.keys)
}
